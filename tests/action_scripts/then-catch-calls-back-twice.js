// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// retires: violation
// violations: callback_twice
// value: {"user_id":1}
function login(email, password, callback) {
  Promise.resolve({ user_id: 1 })
    .then((profile) => {
      callback(null, profile);
      throw new Error('in the success path');
    })
    .catch(callback);
}
