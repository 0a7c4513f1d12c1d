// Light or dark, as the reader chose on this device; otherwise as the system says. Loaded in the head, so that the page does not flash.
"use strict";
(() => {
  const root = document.documentElement;
  const apply = (theme) => { theme ? root.setAttribute("data-theme", theme) : root.removeAttribute("data-theme"); };
  const stored = () => { try { return localStorage.getItem("theme") || ""; } catch { return ""; } };
  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    // On a narrow screen the navigation scrolls sideways: its current page is in sight.
    document.querySelector("header.top nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
    const buttons = [...document.querySelectorAll("[data-theme-choice]")];
    const mark = () => buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.themeChoice === stored())));
    document.querySelectorAll("fieldset.theme").forEach((fieldset) => { fieldset.hidden = false; });
    buttons.forEach((button) => button.addEventListener("click", () => {
      try { localStorage.setItem("theme", button.dataset.themeChoice); } catch { /* private mode: only for this page */ }
      apply(button.dataset.themeChoice);
      mark();
      document.dispatchEvent(new CustomEvent("themechange"));
    }));
    mark();
    // A menu closes when the focus or a click leaves it, or by Escape.
    document.querySelectorAll("details.menu").forEach((menu) => {
      document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
      menu.addEventListener("keydown", (event) => { if (event.key === "Escape") { menu.open = false; menu.querySelector("summary").focus(); } });
    });
  });
})();
