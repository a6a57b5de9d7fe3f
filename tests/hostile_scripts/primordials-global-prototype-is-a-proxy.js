// attack: put a proxy behind the global object, to be asked for every unknown name
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  const trap = new Proxy(Object.create(null), {
    get() {
      throw new Error('trapped');
    },
    has: () => false,
  });
  try {
    Object.setPrototypeOf(globalThis, trap);
  } catch {}
  callback(null, { user_id: 1 });
}
