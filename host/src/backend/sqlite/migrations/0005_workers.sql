-- The workers of a folder are those of the process that has it, which knows them.

DROP TABLE workers;
