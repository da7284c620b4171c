"""The queue as applications see it, for threads and for asyncio."""
