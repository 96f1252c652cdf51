import { send } from "./api.js";
import { byId } from "./dom.js";

byId("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  byId("login-problem").textContent = "";
  try {
    await send("/login", { key: byId("key").value });
    location.assign("/");
  } catch (error) {
    byId("login-problem").textContent = error.message;
    byId("key").select();
  }
});
byId("key").focus();
