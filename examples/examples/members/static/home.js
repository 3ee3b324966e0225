// Shows each number that the server counts.
const seen = [];
const events = new EventSource("/count");
events.onmessage = (event) => {
  seen.push(event.data);
  document.getElementById("counter").textContent = event.data;
  if (event.data === "5") events.close();
};
