// Runs before the page is painted, so that the chosen look does not flash in later.
"use strict";
(() => {
  let stored = null;
  try { stored = localStorage.getItem("sartor-look"); } catch { /* storage is off: the system's look */ }
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
})();
