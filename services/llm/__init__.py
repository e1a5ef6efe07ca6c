"""The model server of the on-prem and cloud roads: vLLM's OpenAI API, on Ray Serve or in one process.

    python -m services.llm --bundle bundles/NAME/VERSION --port 8000 --engine ray

The bundle is verified before anything is loaded. Imports nothing heavy until the engine starts.
"""
