// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  globalThis.setImmediate = globalThis.setTimeout = globalThis.queueMicrotask = () => {};
  process.nextTick = () => {};
  callback(null, { user_id: 1 });
}
