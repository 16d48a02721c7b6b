"use strict";
// Asking the server, and reading an answer that comes line by line.

async function ask(path, said) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
  const response = await fetch(path, said && post);
  if (!response.ok) throw new Error(`The server answered ${response.status}.`);
  return response;
}

async function* lines(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part; !(part = await reader.read()).done; ) {
    const whole = (rest + part.value).split("\n");
    rest = whole.pop();
    for (const line of whole) yield JSON.parse(line);
  }
}
