// Makes golden_buckets.json without any code of the package: node golden_buckets.mjs > golden_buckets.json
import { createHash } from "node:crypto";

const text = (value) => ({ type: "text", text: value });
const integer = (value) => ({ type: "integer", text: value });
const boolean = (value) => ({ type: "boolean", text: value });
const nothing = { type: "null", text: null };

const singles = [
  ..."|user-1|a'b|with space|1|None|true|é|ユーザー|مستخدم|𝄞|\u001f|\u{1F600} id".split("|").map(text),
  ...["0", "1", "-7", "42", "9007199254740992", "9007199254740993", "9223372036854775807"].map(integer),
  ...["-9223372036854775808", "18446744073709551615"].map(integer),
  ...["true", "false"].map(boolean),
  nothing,
];
const pairs = [
  [text("1"), text("23")],
  [text("12"), text("3")],
  [integer("1"), integer("23")],
  [text(""), text("a")],
  [text("a"), text("")],
  [text("ü"), boolean("true")],
  [integer("9007199254740993"), nothing],
];
const salts = ["", "checkout", "соль", "it's \"quoted\" {x}"];

const sets = [
  ...singles.map((value) => [{ name: "user_id", ...value }]),
  ...pairs.map(([one, other]) => [{ name: "zone", ...one }, { name: "device", ...other }]),
];

const digits = (key, count) => BigInt("0x" + createHash("md5").update(key, "utf8").digest("hex").slice(0, count));

function v1(salt, splitters) {
  const words = { true: "True", false: "False" };
  const said = (s) => (s.type === "null" ? "None" : s.type === "boolean" ? words[s.text] : s.text);
  const sorted = [...splitters].sort((a, b) => (a.name < b.name ? -1 : 1));
  return digits(salt + sorted.map(said).join(""), 8);
}

function v2(salt, splitters) {
  if (splitters.some((s) => s.type === "null")) return null;
  return digits([salt, ...splitters.map((s) => s.text)].join("\u001f"), 13);
}

function fnv(value) {
  let state = 0x811c9dc5;
  for (let i = 0; i < value.length; i++) state = Math.imul(state ^ value.charCodeAt(i), 0x01000193) >>> 0;
  return state;
}

function growthbook(salt, [unit, ...more]) {
  if (more.length > 0) return undefined;
  if (unit.type === "null" || unit.type === "boolean" || unit.text === "") return null;
  const shown = unit.type === "integer" ? String(Number(unit.text)) : unit.text;
  return BigInt(fnv(String(fnv(salt + shown))) % 10000);
}

const rules = { v1: [v1, 2n ** 32n], v2: [v2, 2n ** 52n], growthbook: [growthbook, 10000n] };
const vectors = Object.entries(rules).flatMap(([rule, [number, range]]) =>
  salts.flatMap((salt) =>
    sets.flatMap((splitters) => {
      const found = number(salt, splitters);
      if (found === undefined) return [];
      return [{ rule, salt, splitters, number: found === null ? null : String(found), range: String(range) }];
    }),
  ),
);
const about =
  "Bucket vectors: u = number / range; a null number means that the rule gives the unit no bucket. " +
  "Integers are written as text, because not every reader of JSON keeps those beyond 2^53.";
const lines = vectors.map((vector) => "    " + JSON.stringify(vector)).join(",\n");
console.log(`{\n  "about": ${JSON.stringify(about)},\n  "vectors": [\n${lines}\n  ]\n}`);
