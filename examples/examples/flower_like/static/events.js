// Keeps the page up to date: the numbers from the events, the rows by loading the page anew when a task has changed.
"use strict";

async function loadRows() {
  const response = await fetch(location.href);
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const rows = page.getElementById("tasks");
  if (rows) document.getElementById("tasks").replaceWith(rows);
}

function listen(delay) {
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/events`);
  socket.onmessage = ({data}) => {
    delay = 1000;
    const {counts, task} = JSON.parse(data);
    for (const [state, count] of Object.entries(counts)) {
      document.getElementById(`count-${state}`).textContent = count;
    }
    if (task) loadRows();
  };
  // Later each time, and not all pages at once.
  socket.onclose = () => setTimeout(listen, delay * (0.5 + Math.random()), Math.min(2 * delay, 60_000));
}

listen(1000);
