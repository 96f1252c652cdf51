// A state as a word in a pill; its sign is the style's.
import { make } from "./dom.js";

export const pill = (state) => make("span", { class: `pill ${/^[a-z]+$/.test(state) ? state : ""}` }, state);
