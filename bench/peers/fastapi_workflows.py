# SPDX-License-Identifier: Apache-2.0
"""The peer of bench/crud.ts: workflows on FastAPI and SQLite, written the way such services are."""
import json
import os
import sqlite3
import threading
import uuid
from datetime import datetime, timezone

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

app = FastAPI()
local = threading.local()


class Workflow(BaseModel):
    name: str
    description: str = ""
    workflow_data: dict


def db():
    if not hasattr(local, "db"):
        local.db = sqlite3.connect(os.environ["WORKFLOWS_DB"], isolation_level=None, timeout=30)
        local.db.execute("PRAGMA journal_mode=WAL")
        local.db.execute("PRAGMA synchronous=FULL")
        local.db.execute(
            "CREATE TABLE IF NOT EXISTS workflows (id TEXT PRIMARY KEY, name TEXT, description TEXT,"
            " graph TEXT, version INTEGER, created_at TEXT)"
        )
    return local.db


def view(row, with_graph=True):
    item = {"id": row[0], "name": row[1], "description": row[2], "version": row[4], "created_at": row[5]}
    if with_graph:
        item["workflow_data"] = json.loads(row[3])
    return item


@app.post("/api/v1/workflows", status_code=201)
def create(workflow: Workflow):
    row = (str(uuid.uuid4()), workflow.name, workflow.description, json.dumps(workflow.workflow_data), 1,
           datetime.now(timezone.utc).isoformat())
    db().execute("INSERT INTO workflows VALUES (?, ?, ?, ?, ?, ?)", row)
    return view(row)


@app.get("/api/v1/workflows/{workflow_id}")
def get(workflow_id: str):
    row = db().execute("SELECT * FROM workflows WHERE id = ?", (workflow_id,)).fetchone()
    if row is None:
        raise HTTPException(404)
    return view(row)


@app.get("/api/v1/workflows")
def page(limit: int = 20):
    rows = db().execute("SELECT * FROM workflows ORDER BY created_at DESC LIMIT ?", (limit,)).fetchall()
    total = db().execute("SELECT count(*) FROM workflows").fetchone()[0]
    return {"items": [view(row, with_graph=False) for row in rows], "next_cursor": None, "total": total}
