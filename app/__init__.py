"""The FastAPI app under test. Shipped to hosts: imports nothing of ours outside this folder."""
