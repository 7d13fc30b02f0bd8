"""A small model behind the OpenAI protocol: chat with n, log-probs and finite schemas; completions with echo."""

import asyncio
import itertools
import json
import math
from pathlib import Path
from typing import Any

import torch
from replay_server import App, Settings, reply
from transformers import AutoModelForCausalLM, AutoTokenizer


class ModelApp(App):
    """The ASGI application around a folder with a causal model."""

    def __init__(self, folder: Path) -> None:
        super().__init__(Settings())
        torch.set_num_threads(1)
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
        self.lock = asyncio.Lock()

    async def complete(self, body: dict[str, Any], send: Any) -> None:
        async with self.lock:
            found = await asyncio.to_thread(self.chat if "messages" in body else self.text, body)
        self.sent.append(("", "ok"))
        await reply(send, 200, found)

    @torch.inference_mode()
    def generate(self, ids: list[int], body: dict[str, Any], seed: int) -> list[tuple[int, torch.Tensor]]:
        """Tokens with the log-probs of all alternatives, up to the end token."""
        draw = torch.Generator().manual_seed(seed)
        made: list[tuple[int, torch.Tensor]] = []
        past, step = None, torch.tensor([ids])
        for _ in range(body.get("max_tokens") or 16):
            out = self.model(input_ids=step, past_key_values=past, use_cache=True)
            past, logits = out.past_key_values, out.logits[0, -1].float()
            temperature = body.get("temperature", 1.0)
            shares = torch.softmax(logits / max(temperature, 1e-6), -1)
            token = int(logits.argmax()) if temperature == 0 else int(torch.multinomial(shares, 1, generator=draw))
            if token == self.tokenizer.eos_token_id:
                break
            made.append((token, torch.log_softmax(logits, -1)))
            step = torch.tensor([[token]])
        return made

    @torch.inference_mode()
    def logprobs_of(self, ids: list[int]) -> list[torch.Tensor]:
        """At each position but the first, the log-probs of all tokens."""
        return list(torch.log_softmax(self.model(input_ids=torch.tensor([ids])).logits[0].float(), -1)[:-1])

    def chat(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = self.tokenizer.apply_chat_template(body["messages"], add_generation_prompt=True, return_dict=False)
        schema = body.get("response_format", {}).get("json_schema", {}).get("schema")
        choices = []
        for index in range(body.get("n") or 1):
            made = self.best_of(ids, schema) if schema else self.generate(ids, body, (body.get("seed") or 0) + index)
            text = self.tokenizer.decode([token for token, _ in made])
            choice: dict[str, Any] = {"index": index, "message": {"role": "assistant", "content": text}}
            full = len(made) >= (body.get("max_tokens") or 16) and not schema
            choice["finish_reason"] = "length" if full else "stop"
            if body.get("logprobs"):
                choice["logprobs"] = {"content": [self.token(*one, body.get("top_logprobs") or 0) for one in made]}
            choices.append(choice)
        return {"choices": choices, "usage": {"prompt_tokens": len(ids), "completion_tokens": len(choices)}}

    def best_of(self, ids: list[int], schema: dict[str, Any]) -> list[tuple[int, torch.Tensor]]:
        """The likeliest of all answers that a schema of enums and integers from 0 to 9 allows."""
        fields = {key: one.get("enum", list(range(10))) for key, one in schema["properties"].items()}
        best: tuple[float, list[tuple[int, torch.Tensor]]] = (-math.inf, [])
        for values in itertools.product(*fields.values()):
            text = json.dumps(dict(zip(fields, values, strict=True)))
            answer = self.tokenizer.encode(text, add_special_tokens=False)
            rows = self.logprobs_of(ids + answer)[len(ids) - 1 :]
            made = list(zip(answer, rows, strict=True))
            best = max(best, (sum(float(row[token]) for token, row in made), made), key=lambda one: one[0])
        return best[1]

    def token(self, token: int, row: torch.Tensor, top: int) -> dict[str, Any]:
        values, tokens = row.topk(top) if top else (torch.tensor([]), torch.tensor([]))
        others = [
            {"token": self.tokenizer.decode([int(one)]), "logprob": float(value)}
            for one, value in zip(tokens, values, strict=True)
        ]
        return {"token": self.tokenizer.decode([token]), "logprob": float(row[token]), "top_logprobs": others}

    def text(self, body: dict[str, Any]) -> dict[str, Any]:
        ids = self.tokenizer.encode(body["prompt"], add_special_tokens=False)
        made = self.generate(ids, body, body.get("seed") or 0) if body.get("max_tokens") else []
        tokens: list[int] = [token for token, _ in made]
        values: list[float | None] = [float(row[token]) for token, row in made]
        if body.get("echo"):
            rows = self.logprobs_of(ids)
            values = [None, *(float(row[token]) for token, row in zip(ids[1:], rows, strict=True)), *values]
            tokens = ids + tokens
        shown = [self.tokenizer.decode([token]) for token in tokens]
        logprobs = {"tokens": shown, "token_logprobs": values} if body.get("logprobs") is not None else None
        text = self.tokenizer.decode(tokens)
        choice = {"index": 0, "text": text, "finish_reason": "length", "logprobs": logprobs}
        return {"choices": [choice], "usage": {"prompt_tokens": len(ids), "completion_tokens": len(made)}}
