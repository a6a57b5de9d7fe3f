// action: login
// args: ["alice@example.com","correct horse"]
// outcome: succeeded
// value: {"user_id":1,"code":"MODULE_NOT_FOUND"}
function login(email, password, callback) {
  try {
    require('left-pad');
  } catch (error) {
    callback(null, { user_id: 1, code: error.code });
  }
}
