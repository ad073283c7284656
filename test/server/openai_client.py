"""Calls an embeddings API as users of OpenAI's client do, and prints what came of it as one JSON object."""

import json
import sys

import openai

address, token, model = sys.argv[1:]
client = openai.OpenAI(base_url=address, api_key=token, max_retries=0)


def failure(call):
    try:
        call()
    except openai.APIStatusError as error:
        return {"type": type(error).__name__, "status": error.status_code, "code": error.code, "message": error.message}
    return None


texts = ["charged twice", "how do I log in"]
# Without a format the client asks for base64 and unpacks it.
packed = client.embeddings.create(model=model, input=texts)
plain = client.embeddings.create(model=model, input=texts, encoding_format="float", user="someone")
short = client.embeddings.create(model=model, input=texts[0], dimensions=4)
passing = client.embeddings.create(
    model=model, input=texts[0], extra_body={"input_type": "query", "priority": "bulk"}
)
many = client.embeddings.create(model=model, input=[f"text {n}" for n in range(2048)])
stranger = openai.OpenAI(base_url=address, api_key="not-the-token", max_retries=0)

print(
    json.dumps(
        {
            "packed": [item.embedding for item in packed.data],
            "plain": [item.embedding for item in plain.data],
            "short": [item.embedding for item in short.data],
            "passing": [item.embedding for item in passing.data],
            "many": [item.index for item in many.data],
            "usage": packed.usage.total_tokens,
            "models": [listed.id for listed in client.models.list()],
            "failures": [
                failure(lambda: client.embeddings.create(model="another", input="a")),
                failure(lambda: client.embeddings.create(model=model, input=[1, 2, 3])),
                failure(lambda: client.embeddings.create(model=model, input="a", dimensions=100_000)),
                failure(lambda: stranger.embeddings.create(model=model, input="a")),
            ],
        }
    )
)
