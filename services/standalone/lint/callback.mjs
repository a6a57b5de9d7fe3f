// @ts-check
/**
 * Who calls the script's callback: which names stand for it, which lead to it, and which paths
 * through a function pass it by or come to it twice.
 *
 * A path counts as answered as soon as anything on it leads to the callback, be it later and
 * elsewhere; so what is told of is a path that nothing could answer.
 */
import { isFunction, isLoop, methodOf, rootOf, within } from './syntax.mjs';

/** @typedef {import('./script.mjs').Script} Script */
/** @typedef {import('./tree.mjs').Binding} Binding */
/** @typedef {any} Node */

export const ENDS = /^(end|close|destroy|release|quit|disconnect|unbind|terminate|done)$/;
export const REPEATS =
  /^(forEach|map|flatMap|filter|some|every|find|findIndex|reduce|sort|each|eachRow|times)/;
const LATER = /^(setTimeout|setInterval|setImmediate|nextTick|parallel|series|waterfall|auto)$/;
const CHAINS = /^(then|catch|finally)$/;
const LISTENS = /^(on|once|addListener)$/;
const GOES_ON = /^(next|cb\d*|callback\d*|resolve|reject|then|step|proceed|fulfill)$/;
const MAX_ROUNDS = 20; // a name that leads to a name that leads to …

/**
 * @typedef {{live: boolean, open: boolean, call: Node | null, certain: boolean}} Path
 *   live: it goes on; open: nothing on it led to the callback; call: where it called it, and
 *   whether it did so whatever was decided on the way
 */

export class Callback {
  /** Names that lead to the callback. @type {Set<Binding>} */
  #carriers = new Set();
  /** Where a name stands that leads to it, in order. @type {number[]} */
  #signals = [];
  /** @type {Set<Node>} */
  #returns = new Set();
  /** @type {Set<Node>} */
  #ends = new Set();
  /** @type {Set<Node>} */
  #twice = new Set();

  /**
   * @param {Script} script
   * @param {number} positions how many arguments come before it
   */
  constructor(script, positions) {
    this.script = script;
    this.binding = callbackOf(script, positions);
    this.name = this.binding?.name ?? 'callback';
    if (this.binding === undefined) return;
    this.#findCarriers();
    for (const one of script.nodes) if (isFunction(one) && this.#isToCallBack(one)) this.#walk(one);
    this.#findRepeated();
  }

  get used() {
    return this.binding !== undefined && this.#signals.length > 0;
  }

  /** Returns of nothing, on which nothing led to the callback. */
  get silentReturns() {
    return this.#returns;
  }

  /** Functions with a path to their end on which nothing led to it. */
  get silentEnds() {
    return this.#ends;
  }

  /** Calls that come after another one. */
  get secondCalls() {
    return this.#twice;
  }

  /** Whether an expression is the callback itself. @returns {boolean} */
  is(/** @type {Node} */ node) {
    if (node?.type !== 'Identifier' || this.binding === undefined) return false;
    const binding = this.script.bindingOf(node);
    if (binding === this.binding) return true;
    return binding !== undefined && binding !== this.binding && this.#isAlias(binding);
  }

  #isAlias(/** @type {Binding} */ { values, path, param }) {
    const [only] = values;
    if (values.length !== 1 || path.length > 0 || param || only.type !== 'Identifier') return false;
    return this.script.bindingOf(only) === this.binding;
  }

  /** `callback(…)`, `callback.call(…)`. @returns {boolean} */
  calls(/** @type {Node} */ node) {
    if (node?.type !== 'CallExpression') return false;
    const { callee } = node;
    const through = callee.type === 'MemberExpression' && /^(call|apply)$/.test(methodOf(node));
    return this.is(through ? callee.object : callee);
  }

  /** Whether a part of the script calls it, hands it on, or starts what will. */
  isIn(/** @type {Node} */ part) {
    let [low, high] = [0, this.#signals.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#signals[middle] < part.start) low = middle + 1;
      else high = middle;
    }
    return low < this.#signals.length && this.#signals[low] < part.end;
  }

  #findCarriers() {
    for (let round = 0, before = -1; round < MAX_ROUNDS && before < this.#carriers.size; round++) {
      before = this.#carriers.size;
      this.#findSignals();
      for (const binding of this.script.bindings) {
        if (binding.values.some((value) => this.isIn(value))) this.#carry(binding);
      }
      for (const call of this.script.all('CallExpression')) {
        const { callee } = call;
        if (callee.type !== 'MemberExpression' || ENDS.test(methodOf(call))) continue;
        const hands = call.arguments.some((/** @type {Node} */ one) => this.isIn(one));
        const binding = hands && this.script.bindingOf(rootOf(callee));
        if (binding) this.#carry(binding);
      }
    }
  }

  #carry(/** @type {Binding} */ binding) {
    if (binding === this.binding) return;
    const [only] = binding.values;
    if (binding.values.length === 1 && this.script.originOf(only) !== null) return; // a module
    this.#carriers.add(binding);
  }

  #findSignals() {
    const found = [];
    for (const binding of this.script.bindings) {
      const leads = binding === this.binding || this.#carriers.has(binding);
      const steps = binding.param !== null && GOES_ON.test(binding.name);
      if (!leads && !steps) continue;
      for (const node of binding.references) {
        const parent = this.script.parentOf(node);
        if (leads ? !this.#isCleaning(node, parent) : parent?.callee === node) {
          found.push(node.start);
        }
      }
    }
    // `arguments[2](…)`, and an emitter that somebody listens to.
    for (const node of this.script.globals) if (node.name === 'arguments') found.push(node.start);
    for (const call of this.script.all('CallExpression')) {
      if (methodOf(call) === 'emit') found.push(call.start);
    }
    this.#signals = found.sort((one, other) => one - other);
  }

  /** `client.end()`: what it hangs on leads to the callback, it does not. */
  #isCleaning(/** @type {Node} */ node, /** @type {Node} */ parent) {
    if (parent?.type !== 'MemberExpression' || parent.object !== node) return false;
    const call = this.script.parentOf(parent);
    return call?.callee === parent && ENDS.test(methodOf(call));
  }

  /**
   * The script's own function, and one that is given to a call and mentions the callback: its
   * other paths should. Not one that runs many times, nor a link of a chain.
   */
  #isToCallBack(/** @type {Node} */ node) {
    if (!this.isIn(node.body)) return false;
    if (node === this.script.main) return true;
    const call = this.script.parentOf(node);
    if (node.generator || call?.type !== 'CallExpression' || call.callee === node) return false;
    if (![...this.script.around(node)].includes(this.script.main)) return false;
    if (!this.#isCalledOnce(call)) return false;
    const method = methodOf(call);
    if (LATER.test(method) || ENDS.test(method)) return false;
    if (LISTENS.test(method)) return call.arguments[0]?.value === 'connect';
    return !CHAINS.test(method) || this.#isLast(call);
  }

  #isCalledOnce(/** @type {Node} */ call) {
    if (this.script.parentOf(call)?.type === 'AwaitExpression') return false;
    for (let one = call; one !== undefined && one !== this.script.main; ) {
      if (isLoop(one)) return false;
      if (one.type === 'CallExpression' && REPEATS.test(methodOf(one))) return false;
      one = this.script.parentOf(one);
    }
    return true;
  }

  /** The end of a chain: what it returns goes nowhere. */
  #isLast(/** @type {Node} */ call) {
    return this.script.parentOf(call)?.type === 'ExpressionStatement';
  }

  #walk(/** @type {Node} */ node) {
    const path = { live: true, open: true, call: null, certain: true };
    if (node.body.type !== 'BlockStatement') return;
    const end = this.#list(node.body.body, path);
    if (end.live && end.open) this.#ends.add(node);
  }

  /** @param {Node[]} statements @param {Path} path @returns {Path} */
  #list(statements, path) {
    let at = path;
    for (const one of statements) {
      if (!at.live) break;
      at = this.#statement(one, at);
    }
    return at;
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #statement(node, path) {
    switch (node.type) {
      case 'BlockStatement':
        return this.#list(node.body, path);
      case 'LabeledStatement':
        return this.#statement(node.body, path);
      case 'IfStatement':
        return this.#branch(node, path);
      case 'TryStatement':
        return this.#attempt(node, path);
      case 'SwitchStatement':
        return this.#choice(node, path);
      case 'FunctionDeclaration':
      case 'ClassDeclaration':
        return path;
      case 'BreakStatement':
      case 'ContinueStatement':
        return { ...path, live: false };
      case 'ThrowStatement':
        return { ...path, live: false };
      default:
        return isLoop(node) ? this.#loop(node, path) : this.#plain(node, path);
    }
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #plain(node, path) {
    const open = path.open && !this.isIn(node);
    const inner = node.expression ?? node.argument;
    const call = inner && this.#certainCall(inner);
    if (path.call !== null && (call || this.#handsOn(inner))) this.#twice.add(node);
    const after = { ...path, open, ...(call ? { call, certain: true } : {}) };
    if (node.type !== 'ReturnStatement') return after;
    if (open && !this.#isGuarded(node)) this.#returns.add(node);
    return { ...after, live: false };
  }

  /** @returns {Node | null} */
  #certainCall(/** @type {Node} */ node) {
    switch (node.type) {
      case 'AwaitExpression':
      case 'UnaryExpression':
        return this.#certainCall(node.argument);
      case 'ConditionalExpression':
        return this.#certainCall(node.consequent) && this.#certainCall(node.alternate);
      default:
        return this.calls(node) ? node : null;
    }
  }

  /** A call with the callback among its arguments, or with a function that calls it. */
  #handsOn(/** @type {Node} */ node) {
    if (node?.type !== 'CallExpression') return false;
    return node.arguments.some(
      (/** @type {Node} */ one) => this.is(one) || (isFunction(one) && this.#callsInside(one)),
    );
  }

  #callsInside(/** @type {Node} */ part) {
    for (const one of within(part)) if (this.calls(one)) return true;
    return false;
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #branch(node, path) {
    const before = { ...path, open: path.open && !this.isIn(node.test) };
    // What an earlier condition did may be what this one asks for.
    const inside = path.certain ? before : { ...before, call: null, certain: true };
    const yes = this.#statement(node.consequent, inside);
    const no = node.alternate ? this.#statement(node.alternate, inside) : inside;
    const joined = join(yes, no, before);
    if (!this.#asksFlag(node.test)) return joined;
    return { ...joined, open: joined.open && !this.isIn(node), call: before.call };
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #attempt(node, path) {
    const tried = this.#list(node.block.body, path);
    const caught = node.handler ? this.#list(node.handler.body.body, path) : null;
    const joined = caught === null ? tried : join(tried, caught, path);
    if (!node.finalizer) return joined;
    const { open, call } = this.#list(node.finalizer.body, { ...joined, live: true });
    return { ...joined, open: joined.open && open, call: joined.call ?? call };
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #choice(node, path) {
    const before = { ...path, open: path.open && !this.isIn(node.discriminant) };
    const inside = { ...before, call: null };
    let at = { ...inside, live: false };
    for (const { consequent } of node.cases) {
      at = this.#list(consequent, join(inside, at, inside));
    }
    const whole = node.cases.some((/** @type {Node} */ { test }) => test === null);
    const live = !whole || at.live || breaks(node);
    return { ...before, live, open: before.open && !this.isIn(node) };
  }

  /** @param {Node} node @param {Path} path @returns {Path} */
  #loop(node, path) {
    const open = path.open && !this.isIn(node);
    const inside = { ...path, open, call: null, certain: true };
    const end = this.#statement(node.body, inside);
    if (end.live && end.call !== null && end.certain) this.#twice.add(end.call);
    const endless =
      !breaks(node.body) &&
      (node.test === null || (node.test?.type === 'Literal' && Boolean(node.test.value)));
    return { ...path, open, live: !(endless && /^(For|While|DoWhile)S/.test(node.type)) };
  }

  /** `rows.forEach((row) => callback(…))`. */
  #findRepeated() {
    for (const call of this.script.all('CallExpression')) {
      const [given] = call.arguments;
      if (call.callee.type !== 'MemberExpression' || !/^(forEach|map)$/.test(methodOf(call)))
        continue;
      if (!isFunction(given)) continue;
      const body = given.body.type === 'BlockStatement' ? given.body.body : [given.body];
      for (const one of body) {
        const inner = one.expression?.type ? one.expression : one;
        if (this.calls(inner)) this.#twice.add(inner);
      }
    }
  }

  /** A return behind `if (done)`, where `done` is a variable that is set somewhere. */
  #isGuarded(/** @type {Node} */ node) {
    for (const one of this.script.around(node)) {
      if (isFunction(one)) return false;
      if (one.type === 'IfStatement' && this.#asksFlag(one.test)) return true;
    }
    return false;
  }

  #asksFlag(/** @type {Node} */ test) {
    for (const node of within(test)) {
      if (/^(Update|Assignment)Expression$/.test(node.type)) return true;
      if ((this.script.bindingOf(node)?.writes ?? 0) > 0) return true;
    }
    return false;
  }
}

/** @returns {boolean} */
function breaks(/** @type {Node} */ part) {
  for (const { type } of within(part)) if (type === 'BreakStatement') return true;
  return false;
}

/** @param {Path} one @param {Path} other @param {Path} before @returns {Path} */
function join(one, other, before) {
  if (!one.live) return other.live ? { ...other, ...callOf([other], before) } : { ...one };
  if (!other.live) return { ...one, ...callOf([one], before) };
  return { live: true, open: one.open || other.open, ...callOf([one, other], before) };
}

/** @param {Path[]} paths @param {Path} before */
function callOf(paths, before) {
  const called = paths.filter(({ call }) => call !== null);
  const [first] = called;
  if (first === undefined) return { call: before.call, certain: before.certain };
  const certain = called.length === paths.length && called.every((path) => path.certain);
  return { call: first.call, certain };
}

/** The parameter that comes last, as long as there are as many as the call has, or one named so. */
function callbackOf(/** @type {Script} */ script, /** @type {number} */ positions) {
  const { main, params } = script;
  if (!main || params.length === 0) return undefined;
  const named = params.findLastIndex((name) => /^(callback|cb|done|next)$/.test(name ?? ''));
  const fits = params.length === positions + 1 || params.length === positions + 2;
  const index = fits || named === -1 ? params.length - 1 : named;
  return main.params[index].type === 'Identifier' ? script.paramAt(index) : undefined;
}
