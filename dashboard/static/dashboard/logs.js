// Live tail: asks for what came behind the newest event shown, and puts it on top. Five seconds after each answer, not by the clock.
"use strict";
(() => {
  const PAUSE_MS = 5000;
  const MOST_ROWS = 2000;
  const box = document.getElementById("tail");
  if (!box) return;
  const says = document.getElementById("tail-says");
  const rows = document.getElementById("events");
  let timer = null;

  async function poll() {
    const url = new URL(box.dataset.url, location.href);
    url.search = location.search;
    url.searchParams.set("after", box.dataset.newest);
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
      const { html, newest } = await answer.json();
      box.dataset.newest = newest;
      if (html.trim()) {
        rows.insertAdjacentHTML("afterbegin", html); // escaped by the server's template
        document.getElementById("none")?.remove();
        while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
      }
      says.textContent = `asked at ${new Date().toLocaleTimeString()}`;
    } catch (error) {
      says.textContent = `not now (${error.message}); trying again`;
    }
    if (box.checked) timer = setTimeout(poll, PAUSE_MS);
  }

  box.addEventListener("change", () => {
    clearTimeout(timer);
    says.textContent = "";
    if (box.checked) poll();
  });
})();
