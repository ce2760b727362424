-- How much a tenant has stored, so that what no plugin names counts as well.

ALTER TABLE components ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
UPDATE components SET bytes =
    coalesce((SELECT sum(length(p.bytes)) FROM component_pieces p WHERE p.component = components.id), 0);
CREATE INDEX components_by_tenant ON components (tenant, bytes);
