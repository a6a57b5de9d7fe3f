// attack: give every object setters for the names that frames use
// value: {"user_id":1}
// then_value: {"user_id":1}
function login(email, password, callback) {
  for (const name of ['id', 't', 'ok', 'action', 'args', 'kind', 'detail', 'then', 'scripts']) {
    Object.defineProperty(Object.prototype, name, {
      configurable: true,
      get: () => undefined,
      set: () => {
        throw new Error('set');
      },
    });
  }
  callback(null, JSON.parse('{"user_id":1}'));
}
