"use strict";

const element = (id) => document.getElementById(id);

element("connect").onsubmit = async (event) => {
  event.preventDefault();
  const form = new URLSearchParams(new FormData(event.target));
  const answer = await (await fetch("/", {method: "POST", body: form})).json();
  element("status").textContent = answer.status ?? "Connected.";
  if (answer.id) open(answer.id);
};

function open(id) {
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws?id=${encodeURIComponent(id)}`);
  const decoder = new TextDecoder();
  const screen = element("screen"), line = element("line");
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { line.hidden = false; line.focus(); };
  socket.onmessage = ({data}) => {
    screen.textContent += decoder.decode(data, {stream: true});
    line.scrollIntoView();
  };
  socket.onclose = ({reason}) => {
    element("status").textContent = reason || "The connection is lost.";
    line.hidden = true;
  };
  line.onkeydown = ({key}) => {
    if (key !== "Enter") return;
    socket.send(JSON.stringify({data: `${line.value}\n`}));
    screen.textContent += `$ ${line.value}\n`;
    line.value = "";
  };
}
