// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: invalid_profile
// message: not a boolean
function login(email, password, callback) {
  callback(null, { user_id: true, email });
}
