"""The shop's web pages.

uvicorn web:app
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Query
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse
from pydantic import BaseModel, Field
from shop import Base, Order, engine, place_order, registry
from sqlalchemy.orm import Session

import goque
from goque.contrib.starlette import lifespan

PAGE: Final = Path(__file__).with_name("page.html")


@asynccontextmanager
async def tables(app: FastAPI) -> AsyncIterator[None]:
    """Make the shop's own table at the start."""
    del app
    Base.metadata.create_all(engine)
    yield


app = FastAPI(title="Shop", lifespan=lifespan(registry, inner=tables))


class NewOrder(BaseModel):
    """What the page sends."""

    email: str = Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=200)
    item: str = Field(min_length=1, max_length=200)


@app.get("/")
def page() -> FileResponse:
    """Show the page."""
    return FileResponse(PAGE)


@app.post("/orders", status_code=201)
def create(new: NewOrder) -> dict[str, Any]:
    """Place an order; it is answered when order and task are committed."""
    with Session(engine) as session, session.begin():
        order = place_order(session, new.email, new.item)
        return {"number": order.number, "item": order.item}


@app.get("/orders/{number}")
async def follow(number: int, wait: Annotated[float, Query(ge=0, le=25)] = 0) -> dict[str, Any]:
    """Tell how an order's confirmation stands, as soon as it has ended or after `wait` seconds."""
    order = await run_in_threadpool(find, number)
    if order is None or order.task_id is None:
        raise HTTPException(404, f"there is no order {number}")
    task = await ended_or_not(order.task_id, wait)
    return {"number": number, "item": order.item, "status": task.status, "failures": task.errors or ""}


def find(number: int) -> Order | None:
    """Read an order."""
    with Session(engine) as session:
        return session.get(Order, number)


async def ended_or_not(task_id: str, seconds: float) -> goque.Task:
    """Wait for the end of a task for so long, and return it as it is then; PostgreSQL tells of the end."""
    try:
        return await registry.async_queue.wait(task_id, timeout=seconds)
    except TimeoutError:
        return await registry.async_queue.get_task(task_id)
