// attack: delete every global
// value: {"user_id":1}
// then_outcome: any
function login(email, password, callback) {
  for (const name of Reflect.ownKeys(globalThis)) {
    try {
      delete globalThis[name];
    } catch {}
  }
  callback(null, { user_id: 1 });
}
