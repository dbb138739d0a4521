// Light, dark, or as the system has it. Runs before the page is painted, and is no module for that reason.
"use strict";

(() => {
  const root = document.documentElement;
  const order = ["auto", "light", "dark"];
  const names = { auto: "Auto", light: "Light", dark: "Dark" };
  let theme = "auto";
  // Storage may be forbidden; then the choice lasts as long as the page.
  try {
    theme = localStorage.getItem("culvert-theme") ?? "auto";
  } catch {}

  const apply = () => {
    if (!order.includes(theme)) theme = "auto";
    if (theme === "auto") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${names[theme]}`;
  };
  apply();

  document.addEventListener("DOMContentLoaded", () => {
    apply();
    document.getElementById("theme").addEventListener("click", () => {
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try {
        localStorage.setItem("culvert-theme", theme);
      } catch {}
      apply();
    });
  });
})();
