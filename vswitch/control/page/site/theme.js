// Before anything is painted: the theme that was chosen last, if one was. No module, so that it runs at once.
"use strict";
try {
  const chosen = localStorage.getItem("vswitch.theme");
  if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
} catch {
  // A browser that keeps nothing: the system's theme.
}
