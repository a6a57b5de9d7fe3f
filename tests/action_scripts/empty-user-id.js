// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: invalid_profile
// message: user_id is empty
function login(email, password, callback) {
  callback(null, { user_id: '  ', email });
}
