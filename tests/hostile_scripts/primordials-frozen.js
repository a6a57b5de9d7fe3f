// attack: freeze everything that the harness might want to write to
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  for (const value of [Object, Array, Function, String, Promise, Error, Buffer, process, console, globalThis]) {
    try {
      Object.freeze(value.prototype);
      Object.freeze(value);
    } catch {}
  }
  callback(null, { user_id: 1 });
}
