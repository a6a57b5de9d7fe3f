// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1}
function login(email, password, callback) {
  setTimeout(callback, 1, null, { user_id: 1 });
  return {
    get then() {
      throw new Error('look away');
    },
  };
}
