"""What the judges and policies that call a model over the OpenAI protocol share: client, prompts, parsers, prices."""
