-- An import: $1 name, $2 model (JSON), $3 input (JSON), $4 classes, $5 now.
INSERT INTO imports (name, model, input, classes, created_at)
VALUES ($1, $2, $3, $4, $5);
