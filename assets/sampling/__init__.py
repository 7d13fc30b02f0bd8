"""From prompts to responses: policies write what is missing."""
