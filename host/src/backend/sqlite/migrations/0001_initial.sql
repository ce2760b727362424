-- Times are milliseconds since the Unix epoch unless a name ends in _us (microseconds).

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;

-- What tenants configured. `document` is the whole as JSON; the other columns are what is looked up.

CREATE TABLE webhooks (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE rules (
    tenant   TEXT NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT;

CREATE TABLE rule_webhooks (
    tenant  TEXT NOT NULL,
    rule    TEXT NOT NULL,
    webhook TEXT NOT NULL,
    PRIMARY KEY (tenant, rule, webhook),
    FOREIGN KEY (tenant, rule) REFERENCES rules (tenant, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant, webhook) REFERENCES webhooks (tenant, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX rule_webhooks_by_webhook ON rule_webhooks (tenant, webhook);

CREATE TABLE secrets (
    tenant  TEXT NOT NULL,
    name    TEXT NOT NULL,
    value   TEXT NOT NULL,
    updated INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_keys (
    tenant  TEXT NOT NULL,
    id      TEXT NOT NULL,
    name    TEXT NOT NULL,
    scope   TEXT NOT NULL,
    created INTEGER NOT NULL,
    hash    TEXT NOT NULL UNIQUE,
    PRIMARY KEY (tenant, id),
    UNIQUE (tenant, name)
) STRICT;

-- Events, stored once however many deliveries they set off. The context is last, so that reading the
-- other columns does not touch its overflow pages.

CREATE TABLE events (
    seq         INTEGER PRIMARY KEY,
    id          TEXT NOT NULL UNIQUE,
    tenant      TEXT NOT NULL,
    event_type  TEXT NOT NULL,
    object_type TEXT NOT NULL,
    received    INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    unmatched   INTEGER NOT NULL, -- whether it set off nothing
    explanation TEXT NOT NULL,
    context     TEXT NOT NULL
) STRICT;
CREATE INDEX events_unmatched ON events (created) WHERE unmatched = 1;

CREATE TABLE idempotency (
    tenant      TEXT NOT NULL,
    key         TEXT NOT NULL,
    fingerprint TEXT,
    event       TEXT NOT NULL,
    expires     INTEGER NOT NULL,
    PRIMARY KEY (tenant, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_expiry ON idempotency (expires);

-- The scheduler: whose turn it is, and for which webhook. An outlet is a webhook as the queue sees it.
--   ready_at  when it can next be claimed from, as far as time alone decides; NULL when time alone does
--             not help (nothing waits, disabled, as many under way as may be)
--   open      whether that moment has come; the claim opens those whose moment comes
-- Closed outlets are in no index that a claim reads.

CREATE TABLE turns (
    tenant TEXT PRIMARY KEY,
    served INTEGER NOT NULL DEFAULT 0, -- the tick of its last turn: the lowest comes next
    open   INTEGER NOT NULL DEFAULT 0  -- how many of its outlets are open
) STRICT, WITHOUT ROWID;
CREATE INDEX turns_open ON turns (served) WHERE open > 0;

CREATE TABLE outlets (
    id               INTEGER PRIMARY KEY,
    tenant           TEXT NOT NULL,
    webhook          TEXT NOT NULL,
    gone             INTEGER NOT NULL DEFAULT 1, -- whether the registry has no such webhook
    draining         INTEGER NOT NULL DEFAULT 0, -- whether its waiting deliveries are being cancelled
    enabled          INTEGER NOT NULL DEFAULT 1,
    max_in_flight    INTEGER,                    -- NULL: the configured default
    in_flight        INTEGER NOT NULL DEFAULT 0,
    paused_until     INTEGER NOT NULL DEFAULT 0,
    rate_interval_us INTEGER NOT NULL DEFAULT 0, -- 0: no limit
    rate_burst_us    INTEGER NOT NULL DEFAULT 0, -- how far ahead of its rate it may run
    rate_next_us     INTEGER NOT NULL DEFAULT 0, -- GCRA's theoretical arrival time
    rate_ready       INTEGER NOT NULL DEFAULT 0, -- when the rate allows the next claim
    served           INTEGER NOT NULL DEFAULT 0,
    firsts           INTEGER NOT NULL DEFAULT 0, -- first attempts served since the last retry
    ready_at         INTEGER,
    open             INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant, webhook),
    CHECK (in_flight >= 0)
) STRICT;
CREATE INDEX outlets_open ON outlets (tenant, served) WHERE open = 1;
CREATE INDEX outlets_closed ON outlets (ready_at) WHERE open = 0 AND ready_at IS NOT NULL;
CREATE INDEX outlets_paused ON outlets (tenant, paused_until) WHERE paused_until > 0;
CREATE INDEX outlets_gone ON outlets (id) WHERE gone = 1;
CREATE INDEX outlets_draining ON outlets (id) WHERE draining = 1;

CREATE TRIGGER outlets_added AFTER INSERT ON outlets BEGIN
    INSERT INTO turns (tenant) VALUES (new.tenant) ON CONFLICT DO NOTHING;
END;
CREATE TRIGGER outlets_turned AFTER UPDATE OF open ON outlets WHEN old.open <> new.open BEGIN
    UPDATE turns SET open = open + new.open - old.open WHERE tenant = new.tenant;
END;

-- Deliveries. `lane` is 0 (first attempts) or 1 (retries) while it waits, `lease_until` is set while it
-- is under way, and both are NULL when it has ended; the checks tie them to the state.

CREATE TABLE deliveries (
    seq            INTEGER PRIMARY KEY,
    id             TEXT NOT NULL UNIQUE,
    tenant         TEXT NOT NULL,
    event          INTEGER NOT NULL REFERENCES events (seq),
    outlet         INTEGER NOT NULL REFERENCES outlets (id),
    rule           TEXT NOT NULL,
    object_type    TEXT NOT NULL,
    status         TEXT NOT NULL CHECK (status IN
        ('queued', 'started', 'scheduled', 'finished', 'failed', 'skipped', 'cancelled')),
    lane           INTEGER CHECK (lane IN (0, 1)),
    due            INTEGER NOT NULL, -- its place in the lane; kept while it is under way
    attempts       INTEGER NOT NULL DEFAULT 0,
    total_attempts INTEGER NOT NULL DEFAULT 0,
    receives       INTEGER NOT NULL DEFAULT 0,
    fence          INTEGER NOT NULL DEFAULT 0,
    worker         TEXT,
    leased_at      INTEGER,
    lease_until    INTEGER,
    created        INTEGER NOT NULL,
    updated        INTEGER NOT NULL,
    last_result    TEXT,
    CHECK ((lane IS NOT NULL) = (status IN ('queued', 'scheduled'))),
    CHECK ((lease_until IS NOT NULL) = (status = 'started'))
) STRICT;
-- For the claim, for reclaiming and for pruning.
CREATE INDEX deliveries_waiting ON deliveries (outlet, lane, due) WHERE lane IS NOT NULL;
CREATE INDEX deliveries_leased ON deliveries (lease_until) WHERE lease_until IS NOT NULL;
CREATE INDEX deliveries_ended ON deliveries (status, updated)
    WHERE lane IS NULL AND lease_until IS NULL;
-- For the overview's oldest delivery without an attempt.
CREATE INDEX deliveries_untried ON deliveries (tenant, created)
    WHERE status = 'queued' AND total_attempts = 0;
-- For lists, newest first, by each filter.
CREATE INDEX deliveries_by_event ON deliveries (event, created);
CREATE INDEX deliveries_by_time ON deliveries (tenant, created);
CREATE INDEX deliveries_by_status ON deliveries (tenant, status, created);
CREATE INDEX deliveries_by_outlet ON deliveries (outlet, created);
CREATE INDEX deliveries_by_rule ON deliveries (tenant, rule, created);
CREATE INDEX deliveries_by_object_type ON deliveries (tenant, object_type, created);

CREATE TABLE attempts (
    seq      INTEGER PRIMARY KEY,
    delivery INTEGER NOT NULL REFERENCES deliveries (seq) ON DELETE CASCADE,
    number   INTEGER NOT NULL,
    document TEXT NOT NULL,
    UNIQUE (delivery, number)
) STRICT;

-- Counters, kept by triggers so that no transition can forget one.

CREATE TABLE counts (
    tenant TEXT NOT NULL,
    status TEXT NOT NULL,
    n      INTEGER NOT NULL CHECK (n >= 0),
    PRIMARY KEY (tenant, status)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER deliveries_added AFTER INSERT ON deliveries BEGIN
    INSERT INTO counts VALUES (new.tenant, new.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
END;
CREATE TRIGGER deliveries_moved AFTER UPDATE OF status ON deliveries
WHEN old.status <> new.status BEGIN
    UPDATE counts SET n = n - 1 WHERE tenant = old.tenant AND status = old.status;
    INSERT INTO counts VALUES (new.tenant, new.status, 1) ON CONFLICT DO UPDATE SET n = n + 1;
    UPDATE outlets SET in_flight = in_flight + (new.status = 'started') - (old.status = 'started')
        WHERE id = new.outlet AND 'started' IN (old.status, new.status);
END;
CREATE TRIGGER deliveries_removed AFTER DELETE ON deliveries BEGIN
    UPDATE counts SET n = n - 1 WHERE tenant = old.tenant AND status = old.status;
END;

CREATE TABLE usage (
    tenant     TEXT NOT NULL,
    hour       INTEGER NOT NULL, -- hours since the epoch
    events     INTEGER NOT NULL DEFAULT 0,
    attempts   INTEGER NOT NULL DEFAULT 0,
    delivered  INTEGER NOT NULL DEFAULT 0,
    fuel       INTEGER NOT NULL DEFAULT 0,
    bytes_sent INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, hour)
) STRICT, WITHOUT ROWID;
-- For pruning.
CREATE INDEX usage_by_hour ON usage (hour);

CREATE TABLE workers (
    id        TEXT PRIMARY KEY,
    last_seen INTEGER NOT NULL,
    document  TEXT NOT NULL
) STRICT, WITHOUT ROWID;
