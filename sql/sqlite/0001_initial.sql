-- SPDX-License-Identifier: Apache-2.0
-- Flowgenix on SQLite. Ids are UUIDv7 text, so that their order is the order of creation; times are
-- milliseconds since 1970 UTC, 0 for none; columns that hold JSON are plain text.
-- An applied migration is never edited: the program refuses a database whose checksum differs.

CREATE TABLE health (
        id         INTEGER PRIMARY KEY,
        checked_at INTEGER NOT NULL
) STRICT;

-- email_key is the email with its case folded, which is what makes an account unique.
CREATE TABLE users (
        id            TEXT PRIMARY KEY NOT NULL,
        email         TEXT NOT NULL,
        full_name     TEXT NOT NULL,
        role          TEXT NOT NULL CHECK (role IN ('admin', 'member')),
        password_hash TEXT NOT NULL,
        token_version INTEGER NOT NULL,
        created_at    INTEGER NOT NULL,
        email_key     TEXT NOT NULL UNIQUE
) STRICT;

-- A used token stays until it expires: seeing it again is how a theft is noticed.
CREATE TABLE refresh_tokens (
        hash       TEXT PRIMARY KEY NOT NULL,
        user_id    TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        family_id  TEXT NOT NULL,
        expires_at INTEGER NOT NULL,
        used_at    INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id, expires_at);
CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family_id);

CREATE TABLE api_keys (
        id           TEXT PRIMARY KEY NOT NULL,
        user_id      TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        name         TEXT NOT NULL,
        prefix       TEXT NOT NULL,
        hash         TEXT NOT NULL UNIQUE,
        created_at   INTEGER NOT NULL,
        expires_at   INTEGER NOT NULL,
        last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user_id, id);

CREATE TABLE credentials (
        user_id    TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        provider   TEXT NOT NULL,
        sealed_key TEXT NOT NULL,
        hint       TEXT,
        base_url   TEXT,
        updated_at INTEGER NOT NULL,
        PRIMARY KEY (user_id, provider)
) STRICT, WITHOUT ROWID;

-- The graph of the current version is in workflow_versions, as every other one.
-- deleted_at hides a workflow whose rows are being removed a slice at a time.
-- seq_floor is the highest event number among pruned executions: numbers never start over.
CREATE TABLE workflows (
        id          TEXT PRIMARY KEY NOT NULL,
        owner_id    TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        name        TEXT NOT NULL,
        description TEXT NOT NULL,
        version     INTEGER NOT NULL,
        created_at  INTEGER NOT NULL,
        updated_at  INTEGER NOT NULL,
        deleted_at  INTEGER NOT NULL DEFAULT 0,
        seq_floor   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX workflows_by_owner ON workflows (owner_id, id) WHERE deleted_at = 0;
CREATE INDEX workflows_deleted ON workflows (id) WHERE deleted_at > 0;

CREATE TABLE workflow_versions (
        workflow_id TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
        version     INTEGER NOT NULL,
        created_at  INTEGER NOT NULL,
        name        TEXT NOT NULL,
        graph       TEXT NOT NULL,
        PRIMARY KEY (workflow_id, version)
) STRICT;

CREATE TABLE executions (
        id               TEXT PRIMARY KEY NOT NULL,
        workflow_id      TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
        user_id          TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        workflow_version INTEGER NOT NULL,
        status           TEXT NOT NULL
                CHECK (status IN ('queued', 'running', 'completed', 'failed', 'cancelled')),
        created_at       INTEGER NOT NULL,
        started_at       INTEGER NOT NULL,
        finished_at      INTEGER NOT NULL,
        lease_owner      TEXT,
        user_input       TEXT,
        context          TEXT,
        output           TEXT,
        error            TEXT,
        usage            TEXT
) STRICT;
CREATE INDEX executions_by_workflow ON executions (workflow_id, id);
CREATE INDEX executions_by_user ON executions (user_id, id);
CREATE INDEX executions_unfinished ON executions (workflow_id, id)
        WHERE status IN ('queued', 'running');

CREATE TABLE steps (
        execution_id TEXT NOT NULL REFERENCES executions ON DELETE CASCADE,
        node_id      TEXT NOT NULL,
        ordinal      INTEGER NOT NULL, -- place in the graph's order
        type         TEXT NOT NULL,
        status       TEXT NOT NULL
                CHECK (status IN ('pending', 'running', 'completed', 'failed', 'skipped')),
        attempt      INTEGER NOT NULL,
        started_at   INTEGER NOT NULL,
        finished_at  INTEGER NOT NULL,
        input        TEXT,
        output       TEXT,
        usage        TEXT,
        error        TEXT,
        PRIMARY KEY (execution_id, node_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE event_batches (
        workflow_id  TEXT NOT NULL,
        last_seq     INTEGER NOT NULL,
        first_seq    INTEGER NOT NULL,
        execution_id TEXT NOT NULL REFERENCES executions ON DELETE CASCADE,
        packed       TEXT NOT NULL,
        PRIMARY KEY (workflow_id, last_seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX event_batches_by_execution ON event_batches (execution_id, last_seq);

CREATE TABLE idempotency_keys (
        user_id      TEXT NOT NULL,
        workflow_id  TEXT NOT NULL,
        key          TEXT NOT NULL,
        fingerprint  TEXT NOT NULL,
        execution_id TEXT NOT NULL REFERENCES executions ON DELETE CASCADE,
        PRIMARY KEY (user_id, workflow_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_execution ON idempotency_keys (execution_id);

-- deleted_at as for workflows.
CREATE TABLE documents (
        id           TEXT PRIMARY KEY NOT NULL,
        owner_id     TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        workflow_id  TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
        filename     TEXT NOT NULL,
        content_type TEXT NOT NULL,
        sha256       TEXT NOT NULL,
        file_size    INTEGER NOT NULL,
        status       TEXT NOT NULL CHECK (status IN
                ('queued', 'extracting', 'chunking', 'embedding', 'ready', 'failed')),
        error        TEXT,
        progress     REAL NOT NULL,
        page_count   INTEGER NOT NULL,
        chunk_count  INTEGER NOT NULL,
        created_at   INTEGER NOT NULL,
        updated_at   INTEGER NOT NULL,
        deleted_at   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX documents_by_owner ON documents (owner_id, id) WHERE deleted_at = 0;
CREATE INDEX documents_by_workflow ON documents (workflow_id, id);
CREATE INDEX documents_by_content ON documents (workflow_id, sha256);
CREATE INDEX documents_unfinished ON documents (id) WHERE status NOT IN ('ready', 'failed');
CREATE INDEX documents_deleted ON documents (id) WHERE deleted_at > 0;

CREATE TABLE chunks (
        number       INTEGER PRIMARY KEY,
        id           TEXT NOT NULL UNIQUE,
        document_id  TEXT NOT NULL REFERENCES documents ON DELETE CASCADE,
        workflow_id  TEXT NOT NULL,
        ordinal      INTEGER NOT NULL,
        page         INTEGER NOT NULL,
        start_offset INTEGER NOT NULL,
        end_offset   INTEGER NOT NULL,
        heading      TEXT NOT NULL,
        content      TEXT NOT NULL,
        UNIQUE (document_id, ordinal)
) STRICT;

-- The keyword index. `scope` is the workflow's id as one word: with it in the query, the index
-- itself narrows a search to one workflow, whatever the size of the others.
CREATE VIEW chunk_texts AS
        SELECT number, content, heading, replace(workflow_id, '-', '') AS scope FROM chunks;
CREATE VIRTUAL TABLE chunk_index USING fts5 (
        content, heading, scope,
        content = 'chunk_texts', content_rowid = 'number',
        tokenize = 'porter unicode61 remove_diacritics 2'
);
INSERT INTO chunk_index (chunk_index, rank) VALUES ('rank', 'bm25(1.0, 1.5, 0.0)');
CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
        INSERT INTO chunk_index (rowid, content, heading, scope)
        VALUES (new.number, new.content, new.heading, replace(new.workflow_id, '-', ''));
END;
CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
        INSERT INTO chunk_index (chunk_index, rowid, content, heading, scope)
        VALUES ('delete', old.number, old.content, old.heading, replace(old.workflow_id, '-', ''));
END;

-- One vector a chunk and model ("provider/model"), as 32-bit floats in the machine's byte order.
CREATE TABLE embeddings (
        chunk_number INTEGER NOT NULL REFERENCES chunks ON DELETE CASCADE,
        model        TEXT NOT NULL,
        vector       BLOB NOT NULL,
        PRIMARY KEY (chunk_number, model)
) STRICT;

CREATE TABLE chat_messages (
        id           TEXT PRIMARY KEY NOT NULL,
        workflow_id  TEXT NOT NULL REFERENCES workflows ON DELETE CASCADE,
        user_id      TEXT NOT NULL REFERENCES users ON DELETE CASCADE,
        role         TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
        content      TEXT NOT NULL,
        citations    TEXT,
        status       TEXT NOT NULL CHECK (status IN ('complete', 'failed', 'pending')),
        execution_id TEXT,
        created_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX chat_messages_by_talk ON chat_messages (workflow_id, user_id, id);
CREATE INDEX chat_messages_by_user ON chat_messages (user_id);
