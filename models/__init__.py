"""How models are reached: any OpenAI-compatible server, and transformers in this process."""
