// Every view: one line here adds one.
import { store } from "../store.js";
import { Drops } from "./drops.js";
import { History } from "./history.js";
import { Mirrors } from "./mirrors.js";
import { Ports } from "./ports.js";
import { Stations } from "./stations.js";
import { Talkers } from "./talkers.js";
import { Vlans } from "./vlans.js";

export const VIEWS = [
  { key: "ports", title: "Ports", View: Ports },
  { key: "stations", title: "Stations", View: Stations },
  { key: "vlans", title: "VLANs", View: Vlans },
  { key: "drops", title: "Drops", View: Drops },
  { key: "talkers", title: "Talkers", View: Talkers },
  { key: "history", title: "History", View: History },
  { key: "mirrors", title: "Mirrors", View: Mirrors },
];

/** Those that this switch has something for. */
export const visibleViews = () => VIEWS.filter((view) => view.key !== "mirrors" || store.mirrors || location.hash.startsWith("#/mirrors"));
