-- The kind of the last attempt's error, by which deliveries are found. Those that finished have none.

ALTER TABLE deliveries ADD COLUMN last_error TEXT;
UPDATE deliveries SET last_error =
    (SELECT CASE WHEN json_valid(a.document) THEN a.document ->> '$.error.kind' END
     FROM attempts a WHERE a.delivery = deliveries.seq AND a.number = deliveries.total_attempts)
    WHERE total_attempts > 0 AND status NOT IN ('finished', 'skipped');
CREATE INDEX deliveries_by_error ON deliveries (tenant, last_error, created) WHERE last_error IS NOT NULL;
