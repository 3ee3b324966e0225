"use strict";
const SHORTEST_WAIT = 250, LONGEST_WAIT = 10000;
const [lines, form, text, send, state] = ["lines", "form", "text", "send", "state"].map(id => document.getElementById(id));
const url = location.origin.replace(/^http/, "ws") + "/chat/socket";
let socket, wait = SHORTEST_WAIT;

function show(line) {
  const item = document.createElement("li");
  item.textContent = line; // a text, never HTML
  lines.append(item);
  while (lines.children.length > 500) lines.firstChild.remove();
}

function tell(connected) {
  state.textContent = connected ? "connected" : "connecting";
  send.disabled = !connected;
}

function connect() {
  socket = new WebSocket(url);
  socket.onopen = () => {
    wait = SHORTEST_WAIT;
    tell(true);
  };
  socket.onmessage = event => show(JSON.parse(event.data).text);
  socket.onclose = () => {
    tell(false);
    // Not all at the same moment, when it is the server that went away.
    setTimeout(connect, wait * (0.5 + Math.random()));
    wait = Math.min(wait * 2, LONGEST_WAIT);
  };
}

form.onsubmit = event => {
  event.preventDefault();
  if (socket.readyState !== WebSocket.OPEN || !text.value.trim()) return;
  socket.send(JSON.stringify({ text: text.value }));
  text.value = "";
};

connect();
