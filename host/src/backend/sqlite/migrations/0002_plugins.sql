-- Plugins, and the components of their versions. `document` is the whole as JSON.

CREATE TABLE plugins (
    tenant   TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;

-- Which plugins need a component.
CREATE TABLE plugin_versions (
    tenant TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    plugin TEXT NOT NULL,
    PRIMARY KEY (tenant, sha256, plugin),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX plugin_versions_by_plugin ON plugin_versions (tenant, plugin);

-- A component, or one that is being stored: those that are not whole are found by nobody.
--   keep_until  when it may be removed, unless a plugin needs it then; 0 when one needs it, and it was not
--               stored again since

CREATE TABLE components (
    id         INTEGER PRIMARY KEY AUTOINCREMENT, -- never again: a late piece must not end up in another
    tenant     TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    pieces     INTEGER NOT NULL, -- how many make it whole
    whole      INTEGER NOT NULL DEFAULT 0,
    keep_until INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX components_whole ON components (tenant, sha256) WHERE whole = 1;
CREATE INDEX components_due ON components (keep_until) WHERE keep_until > 0;

CREATE TABLE component_pieces (
    component INTEGER NOT NULL REFERENCES components (id),
    number    INTEGER NOT NULL,
    bytes     BLOB NOT NULL,
    PRIMARY KEY (component, number)
) STRICT;

-- The name in a webhook's `plugin`, which may have an @version; so that a plugin in use is not deleted.
ALTER TABLE webhooks ADD COLUMN plugin TEXT GENERATED ALWAYS AS (
    CASE WHEN json_valid(document) THEN
        substr(document ->> '$.spec.plugin', 1, instr((document ->> '$.spec.plugin') || '@', '@') - 1)
    END
) VIRTUAL;
CREATE INDEX webhooks_by_plugin ON webhooks (tenant, plugin, name) WHERE plugin IS NOT NULL;
