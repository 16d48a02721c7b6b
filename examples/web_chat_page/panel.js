"use strict";
// The panel of memories. What people and models say goes into the page as text (textContent), never as HTML.

const WHY = {
  lexical: "same words",
  dense: "same meaning",
  neighbour: "next to a match",
  session: "same chat as a match",
  speaker: "said by who is asked about",
  date: "the date asked about",
  user: "said by you",
  recent: "recent",
  rule: "a standing wish",
  "edited away": "edited later",
};

const byId = (id) => document.getElementById(id);

function element(tag, className, words) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = words;
  made.dir = "auto";
  return made;
}

function card({ date, speaker, text, trimmed, why, tokens }) {
  const made = document.createElement("li");
  const reasons = why.map((reason) => WHY[reason] ?? reason).join(", ");
  made.append(
    element("small", "", `${date || "some day"} · ${speaker === "user" ? "you" : speaker}`),
    element("span", "", trimmed ? `${text} …` : text),
    element("small", "", `${reasons && `${reasons} · `}${tokens} tokens`),
  );
  return made;
}

function remember({ recalled, restored, complete, notes }) {
  const tokens = recalled.reduce((sum, memory) => sum + memory.tokens, 0);
  const quoted = recalled.length ? `${recalled.length} turns were quoted (${tokens} tokens)` : "Nothing was quoted";
  const sent = `${quoted}; ${restored} earlier messages of this chat were sent along.`;
  const whole = complete ? [] : ["The model was not given the whole of this chat."];
  byId("account").textContent = [sent, ...whole, ...notes].join(" · ");
  byId("memories").replaceChildren(...recalled.map(card));
}

function forget() {
  byId("account").textContent = "What the model is given to remember for an answer is listed here.";
  byId("memories").replaceChildren();
}
