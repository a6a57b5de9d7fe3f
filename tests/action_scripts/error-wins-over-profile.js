// action: login
// args: ["alice@example.com","correct horse"]
// outcome: script_error
// detail: called_back_error
// message: half done
function login(email, password, callback) {
  callback(new Error('half done'), { user_id: 1 });
}
