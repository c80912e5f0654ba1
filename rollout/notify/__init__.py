"""Send messages about a run to chats and webhooks. A failing receiver never stops a run.

Called by `app`, next to the engine and after it. Decides nothing about a run.
"""
