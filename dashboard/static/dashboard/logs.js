// Live tail: requests the events after the newest one shown, and inserts them at the top, five seconds after each response.
"use strict";
(() => {
  const PAUSE_MS = 5000;
  const MOST_ROWS = 2000;
  const checkbox = document.getElementById("tail");
  if (!checkbox) return;
  const status = document.getElementById("tail-says");
  const rows = document.getElementById("events");
  let timer = null;

  async function poll() {
    const url = new URL(checkbox.dataset.url, location.href);
    url.search = location.search;
    url.searchParams.set("after", checkbox.dataset.newest);
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(`the server answered ${response.status}`);
      const { html, newest } = await response.json();
      checkbox.dataset.newest = newest;
      if (html.trim()) {
        rows.insertAdjacentHTML("afterbegin", html); // escaped by the server's template
        document.getElementById("none")?.remove();
        while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
      }
      status.textContent = `checked at ${new Date().toLocaleTimeString()}`;
    } catch (error) {
      status.textContent = `failed (${error.message}); trying again`;
    }
    if (checkbox.checked) timer = setTimeout(poll, PAUSE_MS);
  }

  checkbox.addEventListener("change", () => {
    clearTimeout(timer);
    status.textContent = "";
    if (checkbox.checked) poll();
  });
})();
