// Live tail: requests the events after the newest one shown, and inserts them at the top, five seconds after each response.
// It pauses while the tab is hidden, and while the user reads further down, because new rows would move the lines away.
"use strict";
(() => {
  const PAUSE_MS = 5000;
  const MOST_ROWS = 2000;
  const checkbox = document.getElementById("tail");
  if (!checkbox) return;
  const says = document.getElementById("tail-says"), checked = document.getElementById("tail-checked");
  const rows = document.getElementById("events");
  const text = checkbox.dataset;
  let timer = null, isPolling = false, arrived = 0;

  const isReadingBelow = () => rows.getBoundingClientRect().top < -40;

  function say(sentence) {
    if (says.textContent !== sentence) says.textContent = sentence; // a screen reader reads each change
  }

  async function poll() {
    clearTimeout(timer);
    if (!checkbox.checked || isPolling || document.hidden) return; // an event below goes on
    if (isReadingBelow()) {
      say(text.paused);
      return;
    }
    isPolling = true;
    const goesOn = await request();
    isPolling = false;
    if (goesOn && checkbox.checked) timer = setTimeout(poll, PAUSE_MS);
  }

  async function request() {
    const url = new URL(text.url, location.href);
    url.searchParams.set("after", text.newest);
    try {
      const response = await fetch(url, { headers: { Accept: "application/json" } });
      if (response.redirected || response.status === 403) {
        say(text.expired);
        return false;
      }
      if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
      const { html, events, newest } = await response.json();
      if (!checkbox.checked) return false;
      text.newest = newest;
      if (events) show(html);
      arrived += events;
      say(arrived ? `${text.new} ${arrived}` : text.waiting);
      checked.textContent = `${text.checked} ${new Date().toLocaleTimeString(document.documentElement.lang)}`;
    } catch (error) {
      say(`${text.failed} ${error.message}`);
    }
    return true;
  }

  function show(html) {
    rows.insertAdjacentHTML("afterbegin", html); // rows.html, in which the server has escaped every value
    document.getElementById("none")?.remove();
    while (rows.rows.length > MOST_ROWS) rows.deleteRow(-1);
  }

  checkbox.addEventListener("change", () => {
    clearTimeout(timer);
    arrived = 0;
    checked.textContent = "";
    say("");
    poll();
  });
  document.addEventListener("visibilitychange", poll);
  document.addEventListener("scroll", () => {
    if (says.textContent === text.paused && !isReadingBelow()) poll();
  }, { passive: true });
  // A browser may restore the box as checked when the user comes back to the page.
  if (checkbox.checked) poll();
})();
