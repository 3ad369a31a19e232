-- Vectors of kgrec export RUN --embeddings DIR in PostgreSQL with pgvector, for models whose score is
-- inner_product (vectors.json). Parquet becomes CSV first: see docs/vectors.md. 64 is the "dim" there.
CREATE EXTENSION IF NOT EXISTS vector;

CREATE TABLE item_vectors (id text PRIMARY KEY, vector vector(64) NOT NULL, known boolean NOT NULL);

CREATE TABLE user_vectors (id text PRIMARY KEY, vector vector(64) NOT NULL, known boolean NOT NULL);

-- \copy item_vectors FROM 'items.csv' WITH (FORMAT csv, HEADER)
-- \copy user_vectors FROM 'users.csv' WITH (FORMAT csv, HEADER)

-- m and ef_construction as the indexes of --index have them
CREATE INDEX item_vectors_by_score ON item_vectors USING hnsw (vector vector_ip_ops) WITH (m = 16, ef_construction = 200);

SET hnsw.ef_search = 200;

-- <#> is the negative inner product: ascending is best first. Leave out what the user has.
SELECT i.id, -(i.vector <#> u.vector) AS score
FROM item_vectors AS i, user_vectors AS u
WHERE u.id = 'u0001' AND u.known AND i.known
  AND NOT EXISTS (SELECT 1 FROM clicks AS c WHERE c.user_id = u.id AND c.item_id = i.id)
ORDER BY i.vector <#> u.vector
LIMIT 10;
