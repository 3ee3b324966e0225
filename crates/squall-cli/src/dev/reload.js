// Put behind each page by `squall dev`. A WebSocket rather than an event stream: browsers count those among the few connections
// that all windows on a host share.
"use strict";
(() => {
  if (window.__squall__) return;
  window.__squall__ = true;
  const source = new URL(document.currentScript.src);
  const shown = source.searchParams.get("v");
  const address = source.origin.replace(/^http/, "ws") + "/__squall__/version";
  let leaving = false;

  function connect() {
    const socket = new WebSocket(address);
    socket.onmessage = event => {
      if (event.data === shown || leaving) return;
      leaving = true;
      location.reload();
    };
    socket.onclose = () => { if (!leaving) setTimeout(connect, 500); };
  }

  // A page that comes back from the browser's cache has lost its connection.
  addEventListener("pageshow", event => { if (event.persisted) location.reload(); });
  connect();
})();
