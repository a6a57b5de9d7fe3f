// action: login
// args: ["alice@example.com","correct horse"]
// outcome: contract_violation
// detail: result_not_serializable
// message: circular
function login(email, password, callback) {
  const profile = { user_id: 1 };
  profile.self = profile;
  callback(null, profile);
}
