"use strict";
// The chats and their messages. A chat's name stands behind # in the address; without one it is a new chat.

const [turns, chats, form, text, send] = ["turns", "chats", "say", "text", "send"].map(byId);
const opened = () => location.hash.slice(1);

function toTheEnd() {
  turns.scrollTop = turns.scrollHeight;
}

function show(role, words) {
  turns.append(element("li", role, words));
  toTheEnd();
  return turns.lastChild;
}

async function answer(said) {
  const chat = opened();
  const shown = show("assistant coming", "");
  try {
    for await (const line of lines(await ask(`chats/${chat}`, { text: said }))) {
      if (line.error) throw new Error(line.error);
      if (line.recalled && chat === opened()) remember(line);
      shown.textContent += line.words ?? "";
      toTheEnd();
    }
    await listChats();
  } catch (error) {
    shown.classList.add("error");
    shown.textContent += ` ${error.message}`;
  }
  shown.classList.remove("coming");
}

async function listChats() {
  const found = await (await ask("chats")).json();
  chats.replaceChildren(
    ...found.map(({ session, title }) => {
      const link = element("a", "", title);
      link.href = `#${session}`;
      if (session === opened()) link.setAttribute("aria-current", "page");
      return link;
    }),
  );
}

async function openChat() {
  const chat = opened();
  if (!chat) return location.replace(`#${Date.now().toString(36)}`);
  forget();
  await listChats();
  const said = await (await ask(`chats/${chat}`)).json();
  if (chat !== opened()) return; // another one was opened meanwhile
  turns.replaceChildren();
  for (const turn of said) show(turn.state === "failed" ? `${turn.role} refused` : turn.role, turn.text);
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = text.value.trim();
  if (!said || send.disabled) return;
  [text.value, send.disabled] = ["", true];
  show("user", said);
  await answer(said);
  send.disabled = false;
});
text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // Enter may choose a character
  event.preventDefault();
  form.requestSubmit();
});
addEventListener("hashchange", openChat);
addEventListener("resize", toTheEnd);
openChat();
