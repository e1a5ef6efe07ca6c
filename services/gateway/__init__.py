"""The front door: one OpenAI API over every model and road, thin enough to forget.

    python -m services.gateway --config services/gateway/configs/gateway.yaml --port 8000

`proxy` is the core and knows no web framework; `app` is the ASGI skin; `server` builds everything.
What it does not do yet: identity, per-tenant limits, canary, shadow, guard calls.
"""
