function login(email, password, callback) {
  var connection = sqlserver.connect({
    userName: 'legacy',
    password: configuration.SQL_PASSWORD,
    server: configuration.SQL_SERVER,
    options: { port: Number(configuration.SQL_PORT), database: 'store', rowCollectionOnRequestCompletion: true }
  });

  connection.on('connect', function (err) {
    if (err) return callback(err);
    var request = new sqlserver.Request('SELECT Id, Nickname, Email, Password FROM Users WHERE Email = @Email', function (err, rowCount, rows) {
      if (err) return callback(err);
      if (rowCount < 1) return callback(new WrongUsernameOrPasswordError(email));
      bcrypt.compare(password, rows[0][3].value, function (err, same) {
        if (err || !same) return callback(err || new WrongUsernameOrPasswordError(email));
        callback(null, { user_id: rows[0][0].value, nickname: rows[0][1].value, email: rows[0][2].value });
      });
    });
    request.addParameter('Email', sqlserver.Types.VarChar, email);
    connection.execSql(request);
  });
}
