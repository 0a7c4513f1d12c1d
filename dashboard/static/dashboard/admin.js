// Show the data in the sidebar while its filter has text, because the pages that match may be in there.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const filter = document.getElementById("nav-filter");
  const data = document.querySelector("#nav-sidebar details.data");
  if (!filter || !data) return;
  const wasOpen = data.open;
  const update = () => { data.open = wasOpen || filter.value !== ""; };
  filter.addEventListener("input", update);
  filter.addEventListener("keyup", update);
  update();
});
